"""The other world around a replica: simulated time, network and disks."""
