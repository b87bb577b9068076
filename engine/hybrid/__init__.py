"""Process models and learners in space and time, alone and combined."""
