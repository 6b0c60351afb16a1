//! The derive, seen from outside: what it writes for a model, and what it says to a mistake.
