"""Does geometry lead behaviour, task by task?"""
