"""Calls of apps that wait for a person, within LlamaIndex's workflows."""
