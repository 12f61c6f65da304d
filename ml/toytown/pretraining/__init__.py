"""The recipe of toytown's SAM and CoCa. Imports `toytown.world`, `models.frozen`, `labeling.geometry`."""
