"""What the commands of `arrcoc` print and start; `ml.cli` lists them."""
