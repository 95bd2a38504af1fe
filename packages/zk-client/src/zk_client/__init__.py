"""A ZooKeeper client: sessions that reconnect, writes that never lie, watches that survive."""
