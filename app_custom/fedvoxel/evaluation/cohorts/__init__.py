"""What a hospital looks at, and what it may hand on, before a cohort is trained from: pictures, and a datasheet."""
