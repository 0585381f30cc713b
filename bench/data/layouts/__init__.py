"""One small file for each way in which a data set may lie on disk."""
