"""What the server's controller takes, in memory and processor time, with ten sites and with a thousand."""
