"""What a hostile node, release or name may do to its operator: nothing."""
