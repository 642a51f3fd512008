"""Credit: from rewards to a number on every atom."""
