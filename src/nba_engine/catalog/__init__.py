"""What the business writes down: definition, loading, checking, and compiling to a Plan. Importing this loads neither pydantic nor yaml."""

from nba_engine.catalog.catalog import Catalog

__all__ = ["Catalog"]
