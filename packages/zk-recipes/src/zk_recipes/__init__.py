"""Locks and other coordination recipes for ZooKeeper, written once for every kind of concurrency."""
