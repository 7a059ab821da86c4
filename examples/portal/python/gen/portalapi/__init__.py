__all__ = ['ttypes', 'constants', 'Portal']
