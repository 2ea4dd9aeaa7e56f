"""The command line's face of the engine: the same acts as on the screen, in lines or in JSON.

stdout is data, stderr is talk, and every act returns an exit code of design.md, section 9.
"""
