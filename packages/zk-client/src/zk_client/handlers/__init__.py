"""What carries bytes and time between the session core and the world: threads here, gevent and asyncio likewise."""
