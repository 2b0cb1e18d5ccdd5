"""A module a wire format: `decode(bytes, ...)` gives readings or `Rejected`, for any bytes, without I/O."""
