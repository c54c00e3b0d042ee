"""The pages, their files, and how one gets in."""
