"""One file per family of variants; each defines ``VARIANTS``, a tuple of :class:`baselines.variant.Variant`."""
