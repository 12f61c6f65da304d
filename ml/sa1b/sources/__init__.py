"""Where shards come from: a links file, the web, S3, a folder; whole or not at all. Imports `sa1b.shards`."""
