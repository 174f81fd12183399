"""How an answer is played as events: generations, runs, and the events of each kind of app."""
