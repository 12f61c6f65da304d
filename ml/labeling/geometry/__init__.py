"""How masks lie to one another: relations, levels and parents, crops. Imports `masks`."""
