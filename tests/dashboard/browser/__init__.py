"""A package, so that the fixtures of scope "package", the cluster and Chromium, end with the last test of this folder."""
