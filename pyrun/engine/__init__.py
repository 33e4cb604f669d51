"""The verbs: an options object goes in, a result object comes out; nothing prints, nothing exits."""
