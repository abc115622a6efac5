"""A page to try networks on: served to this computer only, one image at a time.

`session` opens the port and a temporary folder, `app` answers requests behind `guard`, `work` is
the queue with its one worker, `uploads` says what is refused, `page` is the page itself.
"""
