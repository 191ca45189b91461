"""What runs in the user's process: observe, capture, context, outcomes, export."""
