"""The leaderboard of any number of stores: ranks within what can be compared, and how they have moved."""
