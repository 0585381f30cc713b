"""The human preference study (the paper's Table 2): pairs, the page that shows them, answers, and what they say."""
