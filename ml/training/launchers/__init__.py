"""How the processes of a training stage are started: here, on several hosts, as a Slurm job. Imports `workspace`."""
