"""Pictures, videos and sound: reading, writing, layout. Nothing here depends on styles."""
