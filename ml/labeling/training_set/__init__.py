"""The labels of a group of shards as one set: manifest, copies of benchmark images, data card. Imports `sa1b`."""
