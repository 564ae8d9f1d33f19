"""The command line: one small file for each verb. No torch until a verb runs."""
