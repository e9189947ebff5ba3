"""A convolution without the products with 0; see `conv`."""
