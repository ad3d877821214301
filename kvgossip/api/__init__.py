"""HTTP for clients and operators, one file a resource."""
