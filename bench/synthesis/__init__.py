"""A trained generator at work: images of label maps from anywhere, in as many styles as it has, and a page to draw."""
