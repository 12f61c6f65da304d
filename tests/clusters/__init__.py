"""Clusters of this machine, for tests: of Ray, of Slurm, of hosts with an sshd."""
