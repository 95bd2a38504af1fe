"""Real ZooKeeper servers, faults and simulation for tests."""
