"""The viewer: pages over a store's runs, problems and rollouts, read by SQL, some rows at a time."""
