"""What both adapters do around a call: conversations, uploads, forms, apps as tools, retrieval."""
