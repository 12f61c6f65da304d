"""The models: frozen SAM and CLIP, and the trained part that reads them."""
