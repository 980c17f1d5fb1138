"""What goes out to other systems: exports, webhooks, the documents of the contract, the examples of consumers."""
