"""The endpoints of the Service API: one module for each section of Dify's reference."""
