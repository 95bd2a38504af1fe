"""The ZooKeeper protocol without I/O: every message, both roles, on plain bytes."""
