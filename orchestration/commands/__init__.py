"""`arrcoc NAME`, a file a command: its options, its help, what it calls. Imports anything below, late."""
