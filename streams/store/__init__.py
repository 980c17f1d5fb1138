"""The read model: what the topics say, in SQL, for people, billing systems and the console. It decides nothing.

`types` and `schema` say what is kept, `database` how it is reached, `migrations` how it grows; the projector
(`reading`, `project`, `writing`) fills it from the topics, and `queries` are the only way to look at it.
"""
