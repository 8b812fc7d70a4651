"""What a reader needs of a scan (planes, pictures, strokes), and what a reading is worth (agreement, edits)."""
