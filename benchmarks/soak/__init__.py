"""Whether anything grows: memory, file descriptors and disk of every process over many rounds of one job."""
