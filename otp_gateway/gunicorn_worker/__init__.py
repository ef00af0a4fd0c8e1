"""gunicorn's threaded worker, extended against hostile clients.

In gunicorn's own worker, a connection without a request occupies a thread for five seconds. A connection with
half a request occupies one for as long as its client likes. If a client does not close its connection after
the last reply, the whole worker stops for two seconds. Here, such connections wait in the main loop, where
they cost only memory. If there are too many, the worker closes the oldest.
"""
