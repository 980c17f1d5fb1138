"""The contract as documents: JSON Schemas and AsyncAPI."""
