"""One walk by several processes: shards, devices, the machines of a Ray cluster."""
