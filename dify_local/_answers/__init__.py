"""How a question is answered: `responder` decides, the others make the replies."""
