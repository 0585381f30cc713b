"""The web page of studies: a folder of static files that opens from disk and asks the network for nothing."""
