"""What builds, checks and releases the four packages. Run by the noxfile; nothing here is shipped."""
